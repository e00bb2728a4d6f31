import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { ScriptedRegistry } from './scripted-registry.js'

/** Serves a registry over HTTP. */
export async function serveRegistry(
  registry: ScriptedRegistry
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    const { method, url } = request
    const asked = { method: method as 'GET' | 'POST', url: `http://registry.example${url}`, body: await text(request) }
    const answer = await registry.send({ ...asked, signal: new AbortController().signal })
    response.writeHead(answer.status, { 'content-type': 'application/json' })
    for await (const piece of answer.body) response.write(piece)
    response.end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const close = () => new Promise<void>(resolve => server.close(() => resolve()))
  return { url: `http://127.0.0.1:${port}`, close }
}
