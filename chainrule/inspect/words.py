"""The words of the page, in English and in Spanish."""

from __future__ import annotations

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "language": "Español", "theme": "Light or dark", "search": "Search", "found": "found", "begin": "To the beginning",
        "back": "One step back", "forward": "One step forward", "end": "To the end", "fit": "Show all",
        "turn": "Turn the picture", "larger": "Larger", "smaller": "Smaller", "unfold": "Unfold all", "fold": "Fold all",
        "closed": "folded; Enter unfolds", "open": "Unfold", "close": "Fold", "unroll": "Unfold in time",
        "roll": "One step of the loop", "turns": "step", "of": "of", "value": "value", "gradient": "gradient",
        "formula": "formula", "operation": "operation", "shape": "type", "source": "line", "mean": "mean",
        "std": "std", "min": "min", "max": "max", "odd": "not finite", "histogram": "histogram", "input": "input",
        "constant": "constant", "output": "result", "nodes": "operations", "pass_forward": "Forward pass",
        "pass_backward": "Backward pass", "local": "local derivative", "incoming": "incoming gradient",
        "outgoing": "outgoing gradient", "seed": "The backward pass begins: the derivative of the result by itself is",
        "sum": "gradient so far", "complete": "gradient, the sum over all uses", "none": "Nothing chosen.",
        "choose": "Choose a node to see its value and its gradient.", "details": "Details", "table": "All operations as a table",
        "name": "name", "start": "Before the first step.", "picture": "The computational graph",
        "keys": "Keys: ← → step, Home End first and last, Tab and Enter choose and unfold, + − 0 zoom, / search",
    },
    "es": {
        "language": "English", "theme": "Claro u oscuro", "search": "Buscar", "found": "encontrados", "begin": "Al principio",
        "back": "Un paso atrás", "forward": "Un paso adelante", "end": "Al final", "fit": "Verlo todo",
        "turn": "Girar el dibujo", "larger": "Más grande", "smaller": "Más pequeño", "unfold": "Desplegar todo",
        "fold": "Plegar todo", "closed": "plegado; Intro despliega", "open": "Desplegar", "close": "Plegar",
        "unroll": "Desplegar en el tiempo", "roll": "Un paso del bucle", "turns": "paso", "of": "de", "value": "valor",
        "gradient": "gradiente", "formula": "fórmula", "operation": "operación", "shape": "tipo", "source": "línea",
        "mean": "media", "std": "desv. típ.", "min": "mín", "max": "máx", "odd": "no finitos", "histogram": "histograma",
        "input": "entrada", "constant": "constante", "output": "resultado", "nodes": "operaciones",
        "pass_forward": "Paso hacia adelante", "pass_backward": "Paso hacia atrás", "local": "derivada local",
        "incoming": "gradiente entrante", "outgoing": "gradiente saliente",
        "seed": "Empieza el paso hacia atrás: la derivada del resultado respecto a sí mismo es",
        "sum": "gradiente hasta ahora", "complete": "gradiente, la suma de todos los usos", "none": "Nada elegido.",
        "choose": "Elija un nodo para ver su valor y su gradiente.", "details": "Detalles",
        "table": "Todas las operaciones en una tabla", "name": "nombre", "start": "Antes del primer paso.",
        "picture": "El grafo de cómputo",
        "keys": "Teclas: ← → paso, Inicio Fin primero y último, Tab e Intro elegir y desplegar, + − 0 zoom, / buscar",
    },
}

__all__ = ["WORDS"]
