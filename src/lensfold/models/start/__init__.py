"""What a network starts from: ImageNet's weights, or a file of the user's."""
