"""al-cycle, al-pretrain, al-agree (thesis ch. 3)."""
