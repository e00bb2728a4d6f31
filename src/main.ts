#!/usr/bin/env node
import { run } from './main/cli.js'
import { stopSignal } from './main/stop-signal.js'

// Nothing to say to a reader that has left; commands that care listen for themselves.
process.stdout.on('error', () => undefined)
process.stderr.on('error', () => undefined)

const { env: environment, stdin, stdout, stderr } = process
// Rejections nobody handled come here too. Later errors are most likely the first one again.
const crashed = new Promise(resolve => process.on('uncaughtException', resolve))
const stopped = stopSignal(process)
const onHangUp = (listener: () => void): void => void process.on('SIGHUP', listener)
process.exit(await run(process.argv.slice(2), { environment, stdin, stdout, stderr, stopped, crashed, onHangUp }))
