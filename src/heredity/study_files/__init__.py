"""Study files: a study written as TOML, for studies that need no Python.

`load` makes the very study that the same words make in Python. Nothing here runs or stores one.
"""

from heredity.study_files.reading import StudyFile as StudyFile
from heredity.study_files.reading import load as load
from heredity.study_files.reading import read as read
