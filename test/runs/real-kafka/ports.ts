import { createServer } from 'node:net'

// Below Linux' ephemeral range (from 32768): there, an outgoing connection could take a killed broker's port, or even
// connect to itself, before the broker is back.
const firstPort = 20_000
const lastPort = 32_000

/** Free loopback ports that stay the broker's own while it is down. */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>()
  for (let attempts = 0; found.size < count; attempts++) {
    if (attempts > 1000) throw new Error(`no ${count} free ports between ${firstPort} and ${lastPort}`)
    const port = firstPort + Math.floor(Math.random() * (lastPort - firstPort))
    if (!found.has(port) && (await isFree(port))) found.add(port)
  }
  return [...found]
}

const isFree = (port: number): Promise<boolean> =>
  new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
