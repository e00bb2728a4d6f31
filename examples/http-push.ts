/**
 * The gateway over HTTP, as curl would use it:
 *
 *     curl -i http://127.0.0.1:8080/kprf/push -H 'content-type: application/json' \
 *       -d '{"records":[{"topic":"orders","key":"k1","data":"hello"}],"wait_for_send":true}'
 *
 * The gateway runs in this process, on the embedded broker and free ports.
 *
 * ```text
 * POST /kprf/push {"records":[{"topic":"orders","key":"k1","data":"hello"}],"wait_for_send":true}
 * 200 {"status":"ok","errors":[]}
 * POST /kprf/push {"records":[{"topic":"orders","data":"hello","partition":99}],"wait_for_send":true}
 * 500 {"status":"err","errors":[{"error":true,"message":"Message production error: UnknownPartition (Local: Unknown partition)"}]}
 * POST /kprf/push {"records":[{"topic":"orders"}]}
 * 400 Request body deserialize error: missing field `data` at line 1 column 30
 * GET /ready
 * 200
 * ```
 */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig, silentLogger, startApp } from 'castellan'

const set = (setting: string, value: string) => ({ flag: `--set ${setting}`, path: setting.split('.'), value })

const config = loadConfig({
  flags: [
    set('http.port', '0'),
    set('management.port', '0'),
    set('embedded.port', '0'),
    // A gateway that runs here has the default one. The log is not opened before there is a record for it.
    set('wal.directory', join(tmpdir(), `castellan-example-${process.pid}`))
  ]
})
const app = await startApp(config, { log: silentLogger, version: 'example' })

async function push(body: string): Promise<void> {
  console.log(`POST /kprf/push ${body}`)
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${app.urls.shared}/kprf/push`, { method: 'POST', headers, body })
  console.log(`${response.status} ${await response.text()}`)
}

await push('{"records":[{"topic":"orders","key":"k1","data":"hello"}],"wait_for_send":true}')
await push('{"records":[{"topic":"orders","data":"hello","partition":99}],"wait_for_send":true}')
await push('{"records":[{"topic":"orders"}]}')
console.log('GET /ready')
const ready = await fetch(`${app.urls.management}/ready`)
console.log(`${ready.status}`)
await app.stop()
