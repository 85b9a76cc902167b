"""Serves one connection after the other."""

TRAITS = {
    "name": "one-by-one",
    "family": "blocking",
    "summary": "one connection after the other",
    "max_connections": 1,
}


def serve(server):
    """Serve until told to stop."""
    server.listener.settimeout(0.1)
    while not server.stopped.is_set():
        try:
            connection, _address = server.listener.accept()
        except TimeoutError:
            continue
        session = server.new_session()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(session.receive(data))
            connection.sendall(session.eof())
