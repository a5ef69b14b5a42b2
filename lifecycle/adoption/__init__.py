"""Make the template a project of your own, from a table of yours."""
