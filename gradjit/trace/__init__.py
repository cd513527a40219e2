"""Tracing: a user's Python function, rewritten and run once, becomes a graph.

The way of a function:

    source       its syntax tree
    exits        `break`, `continue` and `return` become flags
    names        which local variables are state, and which are still needed
    expressions  names, calls, subscripts and logic become calls of the runtime
    rewrite      so do statements
    recode       the rewritten code, compiled with the user's lines and cells
    trace        runs it on symbols, again where something has to be pinned

What the rewritten code calls, and what that works with:

    runtime      `__gj__`
    call         calling something; `special`: builtins; `iterate`: what loops run over
    branch       two sides traced and joined; `control`: logic, conditional expressions
    loops        `for`, `while`; `region`: what they carry; `assembly`: their equation
    merge        the state of two paths, and what goes around loops
    handle       arrays: buffers and views; `inplace`: augmented assignment
    builder      the graph under construction, scopes, state from outside of them
    concrete     where Python needs a number: pin an input, unroll a loop, or refuse
    guards       what was read from outside of the function; `outside`: its handles
"""
