"""Simulated robots: a MuJoCo arm with a camera on its hand, and the ball that it looks at."""
