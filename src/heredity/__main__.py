"""`python -m heredity`: the command line, where no console script is on the path."""

from heredity.cli import main

if __name__ == "__main__":
    main()
