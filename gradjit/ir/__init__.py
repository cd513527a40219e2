"""The structured SSA graph: types, values, equations, blocks."""
