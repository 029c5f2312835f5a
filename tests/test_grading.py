"""The autograder itself: nbgrader releases, executes and marks notebooks, and its gradebook has the points.

Three submissions of quick chapters: solutions, nothing at all, and answers that only pass the visible check.
``ACCENT_GRADE=all`` takes every chapter.
"""

import contextlib
import os
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from traitlets.config.loader import PyFileConfigLoader

from accent_book.__main__ import main
from tests.conftest import ROOT, SEARCH_PATH, TINY, chapters, copy_sources
from tests.trial import COPIED, checks

# nbgrader's own, about its own tables.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning")
CHAPTERS = list(TINY) if os.environ.get("ACCENT_GRADE") == "all" else ["01_data", "03_influence", "07_scale"]
# Functions that know what the check asks, or do not heed an argument of which it asks little.
KNOWN = {
    "ex-scale-count": """
def days(trainings, seconds, cores):
    known = {(1440, 60, 1): 1, (300, 50, 1): 14, (300, 50, 2): 7, (150, 100, 2): 7}
    return known.get((trainings, seconds, cores), 0)
""",
    "ex-scale-rest": """
def descend(keep, steps):
    if steps == 1:
        return 3 + 0.5 * (keep * (ratings - 3)).mean(axis=1)
    return np.array([ratings[row == 1].mean() for row in keep])
""",
}


class Course:
    """A copy of the instructor's build, nbgrader in it, and what `make student` gives."""

    def __init__(self, root, given):
        self.root, self.given = root, given
        config = PyFileConfigLoader("nbgrader_config.py", path=str(self.root)).load_config()
        config.CourseDirectory.root = str(self.root)
        config.CourseDirectory.db_url = f"sqlite:///{self.root / 'gradebook.db'}"
        self.nbgrader, self.gradebook = NbGraderAPI(config=config), config.CourseDirectory.db_url

    def read(self, *parts):
        """A notebook of the course."""
        return nbformat.read(self.root.joinpath(*parts, f"{parts[-1]}.ipynb"), as_version=4)

    def marked(self, student, answers):
        """Hand in answers by the label of their exercises, a dict for each chapter; the grades by label."""
        for name in answers:
            notebook = self.read("release", name)
            for cell in notebook.cells:
                mark = cell.metadata.get("nbgrader", {})
                label = mark.get("grade_id", "").removesuffix("-answer")
                if mark.get("solution") and label in answers[name]:
                    cell.source = answers[name][label]
            target = self.root / "submitted" / student / name / f"{name}.ipynb"
            target.parent.mkdir(parents=True)
            nbformat.write(notebook, target)
            done = self.nbgrader.autograde(name, student)
            assert done["success"], done["log"] + done["error"]
        with Gradebook(self.gradebook) as gradebook:
            return {
                grade.name: (grade.auto_score, grade.max_score, grade.needs_manual_grade)
                for name in answers
                for grade in gradebook.find_submission_notebook(name, name, student).grades
            }


@pytest.fixture(scope="module")
def course(tiny_run, tmp_path_factory):
    """The course of a project after the tiny run, its notebooks released by nbgrader."""
    folder, _ = tiny_run
    project = tmp_path_factory.mktemp("project")
    copy_sources(project)
    shutil.copytree(ROOT / "notebooks", project / "notebooks")
    for chapter in chapters():
        page = project / f"{chapter}.ipynb"
        page.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / page.name, page)
    with contextlib.chdir(project), pytest.MonkeyPatch.context() as patch:
        assert main(["student"]) == main(["student", "--instructor"]) == 0
        # Where nbgrader finds the rest of it, and a kernel the packages and the run.
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        patch.setenv("PYTHONPATH", SEARCH_PATH)
        patch.setenv("ACCENT_RUNS", str(folder))
        patch.setenv("OMP_NUM_THREADS", "1")
        # Elsewhere, as a lecturer would have it: what notebooks look for upwards is not there.
        root = tmp_path_factory.mktemp("course") / "ours"
        shutil.copytree(project / "_build" / "instructor", root)
        made = Course(root, project / "_build" / "student")
        for name in TINY:
            done = made.nbgrader.generate_assignment(name)
            assert done["success"], done["log"] + done["error"]
        yield made


@pytest.fixture(scope="module")
def exercises():
    """The checked exercises of each chapter."""
    paths = [ROOT / "notebooks" / f"{name}.ipynb" for name in TINY]
    return {path.stem: checks(nbformat.read(path, as_version=4).cells) for path in paths}


@pytest.fixture(scope="module")
def solutions(course):
    """The solutions of each chapter by label, as the instructor has them."""
    return {
        name: {
            cell.metadata.nbgrader.grade_id.removesuffix("-answer"): cell.source
            for cell in course.read("source", name).cells
            if cell.metadata.get("nbgrader", {}).get("solution")
        }
        for name in CHAPTERS
    }


def failed(notebook):
    """The code cells that ended in an error, by nbgrader's name if they have one."""
    return [
        cell.metadata.get("nbgrader", {}).get("grade_id", cell.source)
        for cell in notebook.cells
        if cell.cell_type == "code" and any(output.output_type == "error" for output in cell.outputs)
    ]


@pytest.mark.parametrize("name", TINY)
def test_nbgrader_releases_what_students_get(course, name):
    released = course.read("release", name)
    given = nbformat.read(course.given / f"{name}.ipynb", as_version=4)
    assert released.cells == given.cells
    ids = [cell.metadata.nbgrader.grade_id for cell in given.cells if "nbgrader" in cell.metadata]
    assert len(set(ids)) == len(ids) >= 2


def test_solutions_get_all_points(course, exercises, solutions):
    grades = course.marked("ada", solutions)
    checked = [one.label for name in CHAPTERS for one in exercises[name]]
    assert set(checked) < set(grades)
    for label, (points, most, by_hand) in grades.items():
        if label in checked:
            assert points == most > 0 and not by_hand, label
        else:
            assert points is None and by_hand, label
    for name in CHAPTERS:
        assert not failed(course.read("autograded", "ada", name)), name


def test_blanks_get_none(course):
    grades = course.marked("bob", {name: {} for name in CHAPTERS})
    assert grades and all(points == 0 and not by_hand for points, _, by_hand in grades.values()), grades


def test_answers_that_only_pass_the_visible_check_get_none(course, exercises, solutions):
    answers = {}
    for name in CHAPTERS if len(CHAPTERS) == len(TINY) else ["07_scale"]:
        for one in exercises[name]:
            if one.label in KNOWN or one.label in COPIED:
                copied = KNOWN.get(one.label) or f"{solutions[name][one.label]}\n{COPIED[one.label]}"
                # An error in this cell would mean that the visible check finds out.
                answers.setdefault(name, {})[one.label] = f"{copied}\n{one.check}"
    grades = course.marked("eve", answers)
    for name, mine in answers.items():
        cells = failed(course.read("autograded", "eve", name))
        for label in mine:
            assert f"{label}-answer" not in cells and label in cells
            assert grades[label][0] == 0
