"""Reward, deviation and feedback: how a brain is told what its actions were worth."""
