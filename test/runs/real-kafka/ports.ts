import { createServer } from 'node:net'

// Below Linux' ephemeral range (from 32768): there, an outgoing connection could take a killed broker's port, or even
// connect to itself, before the broker is back.
const firstPort = 20_000
const lastPort = 32_000
/** Runs beside each other have ranges of their own: a port is taken only when its broker starts, which is later. */
const ranges = 8

/** Which of the runs beside each other this process is. `undefined`: there is one. */
const part = process.env.KAFKA_PART
const portsOfRange = part === undefined ? lastPort - firstPort : (lastPort - firstPort) / ranges
const firstOfRange = part === undefined ? firstPort : firstPort + (Number(part) % ranges) * portsOfRange

/** Free loopback ports that stay the broker's own while it is down. */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>()
  for (let attempts = 0; found.size < count; attempts++) {
    if (attempts > 1000) throw new Error(`no ${count} free ports between ${firstPort} and ${lastPort}`)
    const port = firstOfRange + Math.floor(Math.random() * portsOfRange)
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
