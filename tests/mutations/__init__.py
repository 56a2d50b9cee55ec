"""Files of every kind that the kit reads, damaged at random: each is read rightly, or refused in a sentence."""
