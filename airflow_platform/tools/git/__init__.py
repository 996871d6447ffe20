"""Git: commands in a repository, trees of commits, and remotes with their logins."""
