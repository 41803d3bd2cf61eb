"""The bundled pictures, and what the demo does with them."""
