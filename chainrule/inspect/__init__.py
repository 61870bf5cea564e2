"""Look inside: pictures of graphs with all values and gradients, and the chain rule written out.

:meth:`Graph.show <chainrule.graph.Graph.show>` and :meth:`~chainrule.graph.Graph.save` draw;
:func:`~chainrule.inspect.explaining.explain` explains. This room stands at the side: nothing below imports it;
graphs and models reach it through ``chainrule.graph.INSPECT``.
"""

from chainrule.inspect.explaining import explain
from chainrule.inspect.explanation import Explanation
from chainrule.inspect.models import explain_weight, loss_graph
from chainrule.inspect.showing import backward, notebook, notebook_svg, save, show

__all__ = ["Explanation", "backward", "explain", "explain_weight", "loss_graph", "notebook", "notebook_svg", "save",
           "show"]
