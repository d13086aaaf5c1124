"""How good the pictures of models are: what is measured of them, and the page that shows it."""
