"""What the rooms share: columns, settings, data on disk, statistics, files, commands and GitHub."""
