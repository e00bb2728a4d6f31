#!/usr/bin/env node
import { run } from './cli/cli.js'
import { stopSignal } from './cli/stop-signal.js'

// A closed stdout or stderr is not an error here; commands that depend on stdout listen themselves.
process.stdout.on('error', () => undefined)
process.stderr.on('error', () => undefined)

const { env: environment, stdin, stdout, stderr } = process
// Unhandled rejections arrive here as well. The first error counts: later ones are most likely its consequences.
const crashed = new Promise(resolve => process.on('uncaughtException', resolve))
const stopped = stopSignal(process)
const onHangUp = (listener: () => void): void => void process.on('SIGHUP', listener)
process.exit(await run(process.argv.slice(2), { environment, stdin, stdout, stderr, stopped, crashed, onHangUp }))
