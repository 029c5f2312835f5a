"""One page of what was compared, `runs/bench/page.md`: ratios, their spread, processor, threads, versions."""

import json

from accent_book.figures.comparison import comparison
from accent_book.runs import runs_folder
from accent_lib.files import atomic


def page(folder):
    """Markdown of what ``libraries.json`` and ``retraining.json`` hold; both must be of one machine."""
    measured = [
        json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("libraries", "retraining")
    ]
    made = [each["provenance"] for each in measured]
    if made[0]["cpu"] != made[1]["cpu"]:
        raise SystemExit("libraries.json and retraining.json are of two machines: run make bench.")
    commits = " and ".join(sorted({str(each["commit"]) for each in made}))
    versions = made[0]["versions"] | made[0]["libraries"]
    least = measured[1]["least"]
    lines = [
        "# Speed beside other libraries and other ways",
        "",
        f"{made[0]['cpu']['model']}, {made[0]['cpu']['count']} processors; {made[0]['date']}; commit"
        f" {commits}; {', '.join(f'{name} {version}' for name, version in versions.items())}.",
        *(f"\n**{each['machine']['warning']}**" for each in measured if each["machine"]["warning"]),
        "",
        f"A ratio is that to this library, the median of {measured[0]['repeats']} turns; its spread is in"
        " brackets. All ways give the same numbers, but for the conjugate gradients.",
        "",
        "| work | way | threads | ms | ratio |",
        "|---|---|---:|---:|---:|",
    ]
    for row in comparison(folder).itertuples():
        lines.append(
            f"| {row.work} | {row.way} | {row.threads} | {row.milliseconds:.3g} | {row.ratio:.2f}"
            f" ({row.smallest:.2f} to {row.largest:.2f}) |"
        )
    lines += [
        "",
        f"A step and copy of NCF takes at least {least['least_ms']:.3f} ms on this machine:"
        f" {least['network']:.3f} for products and sums, {least['gathers']:.3f} for looking up rows,"
        f" {least['adam']:.3f} for Adam. The loops take {least['ms']:.3f} ms at best:"
        f" {least['ratio']:.2f} times that.",
    ]
    return "\n".join(lines) + "\n"


def main():
    """Write the page and print it."""
    folder = runs_folder() / "bench"
    text = page(folder)
    with atomic(folder / "page.md") as path:
        path.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
