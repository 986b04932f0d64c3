"""The command line of srkit: flags in, recipes down, results out."""
