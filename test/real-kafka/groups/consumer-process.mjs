// A process that consumes on behalf of a group with several loops. Each message is written to a file before it is
// acknowledged, so whatever is committed stands in the file, also after kill -9. It writes nothing to stdout: a pipe that
// nobody reads would stop it.
import { openSync, writeSync } from 'node:fs'
import { openCastellan } from '../../../dist/index.js'

const [brokers, group, topic, file, loops, settings] = process.argv.slice(2)
const journal = openSync(file, 'a')
const stopped = new AbortController()
const castellan = await openCastellan({ brokers, consumer: JSON.parse(settings) })

async function consume() {
  for await (const message of castellan.consume({ group, topic, signal: stopped.signal })) {
    writeSync(journal, `${message.partition} ${message.offset} ${message.retries} ${message.value}\n`)
    message.ack()
  }
}

const running = Promise.all(Array.from({ length: Number(loops) }, consume))
process.once('SIGTERM', async () => {
  stopped.abort()
  await running
  await castellan.close(5_000)
  process.exit(0)
})
