"""The order desk; see README.md beside this."""
