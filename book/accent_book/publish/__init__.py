"""What readers get beside the book: launch cells, student notebooks, slides, PDF, explorer."""
