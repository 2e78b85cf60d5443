"""rekur: sequence modelling with recurrent networks. Write one step of a cell; rekur unfolds it."""

__version__ = "0.1.0"
