"""The only door to AWS: sessions, the calls the library makes, and what their errors mean."""
