// Runs the log's thread from its TypeScript source: Node 20 does not hand loaders on to threads.
import { register } from 'tsx/esm/api'

register()
await import('../../src/producer/log/log-worker.ts')
