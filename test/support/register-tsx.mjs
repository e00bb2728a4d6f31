import { isMainThread } from 'node:worker_threads'

// Threads run what is built, as the product's do: loading tsx into each took longer than all else that one does.
if (isMainThread) await import('tsx')
