"""What is known of what was trained: scores, comparisons, the leaderboard, ranked lists."""
