import { PoliteClient, type PoliteReport } from './polite-client.js'

/** The polite client in a process of its own, so that the work of the attackers does not count as waiting. */
const client = new PoliteClient(process.argv[2]!)
const stop = new AbortController()
const running = client.run(stop.signal)

process.on('message', async (word: 'report' | 'stop') => {
  if (word === 'stop') {
    stop.abort()
    await running
    client.close()
  }
  const { answered, refused, problems } = client
  const report: PoliteReport = { p99Ms: client.takeP99(), answered, refused, problems }
  process.send!(report)
  if (word === 'stop') process.disconnect()
})
