/**
 * A worker in a process of its own, to be killed: joins, takes one batch, and says both on standard output. It runs the
 * built broker, since Node does not load our TypeScript.
 */
export const WORKER_CHILD = `
  const { BullMqBroker } = await import(process.argv[1]);
  const [redisUrl, namespace, workerId] = process.argv.slice(2);
  const broker = await BullMqBroker.connect({ redisUrl, namespace });
  const link = await broker.connectWorker({ workerId, threads: 1 }, { onCancel() {}, onAnswer() {} });
  console.log("joined");
  const { batch } = await link.take();
  console.log("took " + batch.id);
`;
