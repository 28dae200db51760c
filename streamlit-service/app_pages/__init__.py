"""The pages. They show what portal knows and record intent; they decide nothing."""
