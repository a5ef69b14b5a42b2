"""The code that all rooms share: columns, settings, data on disk, statistics, files, commands and GitHub."""
