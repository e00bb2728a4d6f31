import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answerParent } from './child.js'

/** What the gateway answers too. */
const ANSWER = '{"status":"ok","errors":[]}'

/** The least an HTTP server on Node can do: read the body, parse it where it is JSON (not below `/raw`), answer. */
function serve(request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
  })
  request.on('end', () => {
    const body = Buffer.concat(chunks)
    if (request.url !== '/raw') JSON.parse(body.toString())
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': ANSWER.length })
    response.end(ANSWER)
  })
}

answerParent({
  start: () =>
    new Promise(resolve => {
      const server = createServer(serve)
      server.listen(0, '127.0.0.1', () => resolve({ port: (server.address() as AddressInfo).port }))
    })
})
