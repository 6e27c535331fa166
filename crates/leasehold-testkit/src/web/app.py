import sys

from waitress import serve


def app(environ, start_response):
    sys.stdout.write(environ["REQUEST_METHOD"] + " " + environ["REQUEST_URI"] + "\n")
    sys.stdout.flush()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


serve(app, listen="127.0.0.1:@PORT@", threads=1)
