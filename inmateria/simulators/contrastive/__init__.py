"""Networks that learn by comparing two states: resistors, transistors or diodes between nodes, and local rules."""
