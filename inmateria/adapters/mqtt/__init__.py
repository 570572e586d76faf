"""A substrate behind an MQTT broker: the wire (docs/wire.md), its client, its device, and a broker to begin with."""
