"""Recipes: JSON files that say what a brain is made of, and the compiler that plans it."""

from ab_ros.engine.recipes.compiler import compile_recipe
from ab_ros.engine.recipes.reader import load_recipe, recipe_names, recipe_of
from ab_ros.engine.recipes.recipe import Recipe

__all__ = ["Recipe", "compile_recipe", "load_recipe", "recipe_names", "recipe_of"]
