#!/usr/bin/env node
import { stopSignal } from './cli/stop-signal.js'
import { holdYoungGeneration } from './server/app/heap-growth.js'

// Ignores a closed stdout. Commands that depend on stdout have their own listeners.
process.stdout.on('error', () => undefined)
process.stderr.on('error', () => undefined)

const { env: environment, stdin, stdout, stderr } = process
// Unhandled rejections arrive here, too. Only the first error is reported, because later errors are most likely its
// consequences.
const crashed = new Promise(resolve => process.on('uncaughtException', resolve))
const stopped = stopSignal(process)
const onHangUp = (listener: () => void): void => void process.on('SIGHUP', listener)
// What is loaded from here on takes most of the memory of the start.
holdYoungGeneration()
const { run } = await import('./cli/cli.js')
process.exit(await run(process.argv.slice(2), { environment, stdin, stdout, stderr, stopped, crashed, onHangUp }))
