"""Evidence: trials, which train on a selection and on control rows at an equal budget and compare held-out losses.

trial (the plan, fixed before it starts) -> arms (the rows of each) -> trial_results, with trial_statistics
"""
