"""The HTTPS trigger with answers that leave while they are made. The command of the image is `functions.streaming`."""
