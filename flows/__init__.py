"""What happens, in what order. A flow calls tasks and branches on what they return."""
