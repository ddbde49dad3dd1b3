"""What a release is made of: the image, the Compose file, the dashboard and the alert rules."""
