"""The JavaScript libraries that the page carries inside itself, as installed Python packages bring them."""

import base64
from importlib.resources import files

LICENSES = "plotly.js (MIT), DataTables, jQuery (MIT)"


def plotly_js() -> str:
    """Return the code of plotly.js, as the package plotly brings it."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("</script", "<\\/script")


def datatables_url() -> str:
    """Return the module of DataTables, as the package itables brings it, as a data URL to import it from.

    A module inside a page can only be imported from a URL; itables itself does so offline.
    """
    code = (files("itables") / "html" / "dt_bundle.js").read_bytes()
    return "data:text/javascript;base64," + base64.b64encode(code).decode("ascii")
