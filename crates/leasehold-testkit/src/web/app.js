const server = require("http").createServer((request, response) => {
  console.log(request.method + " " + request.url);
  request.on("error", () => {});
  request.on("end", () => response.end("ok"));
  request.resume();
});
server.on("clientError", (error, socket) => {
  // What is cut off in the middle was told of already.
  if (String(error.code).startsWith("HPE_") && error.code !== "HPE_INVALID_EOF_STATE") {
    console.log("<BADREQ> " + error.code);
  }
  socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
});
server.keepAliveTimeout = 60000;
server.listen(@PORT@, "127.0.0.1");
