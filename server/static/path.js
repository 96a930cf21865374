// The path of the voice, from the candidate pair in use: direct, or through the relay.

function selectedPair(stats) {
  for (const report of stats.values()) {
    if (report.type === "transport" && report.selectedCandidatePairId) return stats.get(report.selectedCandidatePairId);
  }
  for (const report of stats.values()) {
    if (report.type === "candidate-pair" && (report.selected || (report.nominated && report.state === "succeeded"))) return report;
  }
  return null;
}

// "direct", "relay", or null while no pair is in use.
export async function pathOf(connection) {
  const stats = await connection.getStats();
  const pair = selectedPair(stats);
  if (!pair) return null;
  const ends = [stats.get(pair.localCandidateId), stats.get(pair.remoteCandidateId)];
  return ends.some((end) => end?.candidateType === "relay") ? "relay" : "direct";
}
