/**
 * kafboy's API with hooks: the session of its README. The hooks are in `hooks/kafboy-hooks.ts`. The gateway imports this
 * file.
 *
 * ```text
 * POST /kafboy/batch/async/ekaf test=a
 * 200 {"ok":"fast reply"}
 * POST /kafboy/batch/async/ekaf hello=a
 * 200 {"ok":1}
 * POST /kafboy/batch/async/ekaf
 * 400 {"error":"ekaf.insufficient"}
 * written: {"extra":"true","test":"a"}
 * written: a
 * ```
 */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadConfig, silentLogger, startApp } from 'castellan'
import { openCastellan } from 'castellan/client'
import { startEmbeddedCluster } from 'castellan/testing'

const set = (setting: string, value: string) => ({ flag: `--set ${setting}`, path: setting.split('.'), value })

const broker = await startEmbeddedCluster()
broker.createTopic('ekaf', { partitions: 1 })
const config = loadConfig({
  flags: [
    set('clusters.default.brokers', broker.bootstrap),
    set('http.port', '0'),
    set('management.port', '0'),
    // A gateway that runs here has the default one. The log is not opened before there is a record for it.
    set('wal.directory', join(tmpdir(), `castellan-example-${process.pid}`)),
    set('apis.kafboy.callbackEditJson', fileURLToPath(new URL('./hooks/kafboy-hooks.ts', import.meta.url)))
  ]
})
const app = await startApp(config, { log: silentLogger, version: 'example' })

for (const body of ['test=a', 'hello=a', '']) {
  console.log(`POST /kafboy/batch/async/ekaf ${body}`.trim())
  const response = await fetch(`${app.urls.shared}/kafboy/batch/async/ekaf`, { method: 'POST', body })
  console.log(`${response.status} ${await response.text()}`)
}

// Stopping writes what was accepted first.
await app.stop()
const castellan = await openCastellan({ brokers: broker.bootstrap })
for await (const { value } of castellan.read('ekaf')) console.log(`written: ${value}`)
await castellan.close()
await broker.close()
